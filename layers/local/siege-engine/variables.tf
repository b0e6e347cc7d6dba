variable "run_folder" {
  description = "Folder for processes and their files (output of local/core)."
  type        = string
}

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

variable "port" {
  description = "Port on 127.0.0.1 for control and metrics."
  type        = number
}

variable "target" {
  description = "URL that gets the load; a port that is a range (21000-21009) means one replica a port."
  type        = string
}

variable "schedule" {
  description = "Path of the arrival schedule; other content is loaded without a restart."
  type        = string
}

variable "timeout_s" {
  description = "Seconds from its intended time after which a request counts as timeout."
  type        = number
  default     = 5
}

variable "max_in_flight" {
  description = "Requests under way at once; those beyond count as dropped."
  type        = number
  default     = 512
}
