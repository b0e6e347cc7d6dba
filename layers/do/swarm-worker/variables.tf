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

variable "manager_address" {
  description = "Private address of the manager (output of do/swarm-manager)."
  type        = string
}

variable "manager_tag" {
  description = "Tag of the manager (output of do/swarm-manager)."
  type        = string
}

variable "worker_tag" {
  description = "Tag of the workers (output of do/swarm-manager)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "docker_version" {
  description = "Docker version."
  type        = string
  default     = "28.5.2"
}

variable "workers" {
  description = "Droplets of which each runs one replica of the app."
  type        = number
  default     = 1

  validation {
    condition     = var.workers >= 1 && floor(var.workers) == var.workers
    error_message = "workers must be a whole number of at least 1."
  }
}

variable "size" {
  description = "Size of the workers."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}
