variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps); \"\" where the image has /app/siege_engine.py."
  type        = string
}

variable "target" {
  description = "URL that gets the load, as seen inside the cluster."
  type        = string
}

variable "image" {
  description = "Image with python3; pinned, public, so that nothing has to be built for a first run."
  type        = string
  default     = "python:3.12-slim"
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

variable "cpu_request" {
  description = "Processor time that the pod needs to be placed, such as 100m."
  type        = string
  default     = "100m"
}

variable "cpu_limit" {
  description = "Processor time that the pod gets at most; too little makes requests late."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory that the pod needs to be placed, and gets at most."
  type        = string
  default     = "256Mi"
}
