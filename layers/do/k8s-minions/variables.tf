variable "name" {
  description = "What the names of all things begin with (output of do/core)."
  type        = string
}

variable "region" {
  description = "DigitalOcean region (output of do/core)."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the droplets (output of do/core)."
  type        = string
}

variable "project_id" {
  description = "DigitalOcean project that the droplets go into (output of do/core)."
  type        = string
}

variable "tag" {
  description = "Tag of everything of the run (output of do/core)."
  type        = string
}

variable "bastion_tag" {
  description = "Tag of the bastion, from which alone SSH is taken (output of do/support)."
  type        = string
}

variable "ssh_key" {
  description = "Fingerprint of the key that may log in (output of do/support)."
  type        = string
}

variable "consul_address" {
  description = "Private address of the Consul server (output of do/support)."
  type        = string
}

variable "control_plane_address" {
  description = "Private address of the control plane (output of do/k8s-control-plane)."
  type        = string
}

variable "control_plane_tag" {
  description = "Tag of the control plane (output of do/k8s-control-plane)."
  type        = string
}

variable "minion_tag" {
  description = "Tag of the minions (output of do/k8s-control-plane)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version."
  type        = string
  default     = "1.34.4"
}

variable "minions" {
  description = "Nodes for pods."
  type        = number
  default     = 1

  validation {
    condition     = var.minions >= 1 && floor(var.minions) == var.minions
    error_message = "minions must be a whole number of at least 1."
  }
}

variable "size" {
  description = "Size of the minions; at least 2 processors and 2 GB."
  type        = string
  default     = "s-2vcpu-2gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}
