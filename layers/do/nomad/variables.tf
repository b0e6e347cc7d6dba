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

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "nomad_version" {
  description = "Nomad version."
  type        = string
  default     = "1.10.5"
}

variable "clients" {
  description = "Clients, which run jobs."
  type        = number
  default     = 1

  validation {
    condition     = var.clients >= 1 && floor(var.clients) == var.clients
    error_message = "clients must be a whole number of at least 1."
  }
}

variable "server_size" {
  description = "Size of the server."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "client_size" {
  description = "Size of the clients."
  type        = string
  default     = "s-1vcpu-2gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}
