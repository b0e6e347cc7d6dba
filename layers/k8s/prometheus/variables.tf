variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "image" {
  description = "Image of Prometheus; pinned and public."
  type        = string
  default     = "prom/prometheus:v3.5.0"
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps); \"\" where discovery_image has /app/pod_targets.py."
  type        = string
}

variable "discovery_image" {
  description = "Image with python3, for the program that tells Prometheus which pods there are."
  type        = string
  default     = "python:3.12-slim"
}

variable "scrape_interval_s" {
  description = "Seconds between two scrapes."
  type        = number
  default     = 1
}

variable "cpu_request" {
  description = "Processor time that the pod needs to be placed, such as 100m."
  type        = string
  default     = "100m"
}

variable "cpu_limit" {
  description = "Processor time that the pod gets at most."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory that the pod needs to be placed, and gets at most."
  type        = string
  default     = "512Mi"
}

variable "data_size" {
  description = "Disk that the data may take on the node; more evicts the pod."
  type        = string
  default     = "2Gi"
}
