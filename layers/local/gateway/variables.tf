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
  description = "Port of the gateway on 127.0.0.1."
  type        = number
}

variable "function" {
  description = "Name of the function: it is called as /function/NAME."
  type        = string
  default     = "hello"
}

variable "namespace_label" {
  description = "Namespace of the function in the metrics, where its name is NAME.NAMESPACE; OpenFaaS's, so that the same queries serve both."
  type        = string
  default     = "openfaas-fn"
}

variable "upstream" {
  description = "Where the function's replicas answer; a port that is a range (21000-21009) means one replica a port."
  type        = string
}

variable "timeout_s" {
  description = "Seconds from its arrival after which a call gets 504."
  type        = number
  default     = 60
}
