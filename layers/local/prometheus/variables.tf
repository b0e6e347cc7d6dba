variable "supervisor" {
  description = "Path of the supervisor's configuration (output of local/core)."
  type        = string
}

variable "python" {
  description = "Python interpreter (output of local/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "prometheus" {
  description = "Path of the prometheus program."
  type        = string
}

variable "port" {
  description = "Port of Prometheus on 127.0.0.1."
  type        = number
}

variable "targets" {
  description = "What to scrape: HOST:PORT by job."
  type        = map(list(string))
}

variable "scrape_interval_s" {
  description = "Seconds between two scrapes."
  type        = number
  default     = 1
}
