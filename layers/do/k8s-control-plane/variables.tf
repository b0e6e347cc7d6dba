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

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version."
  type        = string
  default     = "1.34.4"
}

variable "flannel_version" {
  description = "Version of flannel, the pods' network."
  type        = string
  default     = "0.27.4"
}

variable "size" {
  description = "Size of the control plane; at least 2 processors and 2 GB."
  type        = string
  default     = "s-2vcpu-2gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}
