variable "name" {
  description = "Name of the cluster (output of do/core)."
  type        = string
}

variable "region" {
  description = "DigitalOcean region (output of do/core)."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the cluster (output of do/core)."
  type        = string
}

variable "project_id" {
  description = "DigitalOcean project that the cluster goes into (output of do/core)."
  type        = string
}

variable "version_prefix" {
  description = "Kubernetes version to take the newest of, such as \"1.34.\"; \"\": of all."
  type        = string
  default     = "1.34."
}

variable "ha" {
  description = "Whether the control plane is highly available; costs 40 dollars a month, for good."
  type        = bool
  default     = false
}

variable "system_size" {
  description = "Size of the one node for what watches and loads the app; cannot be changed later."
  type        = string
  default     = "s-2vcpu-4gb"
}

variable "app_size" {
  description = "Size of the nodes for the app; another size makes the pool anew."
  type        = string
  default     = "s-2vcpu-2gb"
}

variable "nodes" {
  description = "Nodes for the app."
  type        = number
  default     = 1

  validation {
    condition     = var.nodes >= 1 && floor(var.nodes) == var.nodes
    error_message = "nodes must be a whole number of at least 1."
  }
}

variable "credentials_seconds" {
  description = "Seconds after which credentials that Terraform read expire."
  type        = number
  default     = 86400
}
