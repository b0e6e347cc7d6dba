variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps); \"\" where the image has /app/gateway.py."
  type        = string
}

variable "upstream" {
  description = "URL of the function's replicas, as seen inside the cluster; a name with several addresses."
  type        = string
}

variable "image" {
  description = "Image with python3; pinned, public, so that nothing has to be built for a first run."
  type        = string
  default     = "python:3.12-slim"
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

variable "timeout_s" {
  description = "Seconds from its arrival after which a call gets 504."
  type        = number
  default     = 60
}

variable "cpu_request" {
  description = "Processor time that the pod needs to be placed, such as 100m."
  type        = string
  default     = "100m"
}

variable "cpu_limit" {
  description = "Processor time that the pod gets at most; too little makes answers late."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory that the pod needs to be placed, and gets at most."
  type        = string
  default     = "128Mi"
}
