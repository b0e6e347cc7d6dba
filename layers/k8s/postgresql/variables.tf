variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "image" {
  description = "Image of PostgreSQL with the official one's entry point; pinned and public."
  type        = string
  default     = "postgres:17"
}

variable "connection_limit" {
  description = "Connections that the server takes at once; one more is refused."
  type        = number
  default     = 100

  validation {
    condition     = var.connection_limit >= 1 && floor(var.connection_limit) == var.connection_limit
    error_message = "connection_limit must be a whole number of at least 1."
  }
}

variable "storage" {
  description = "Size of a volume that keeps the data when the pod goes, such as 1Gi; \"\" keeps it in the pod."
  type        = string
  default     = ""
}

variable "storage_class" {
  description = "Storage class of that volume; \"\" takes the cluster's default."
  type        = string
  default     = ""
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
  default     = "256Mi"
}
