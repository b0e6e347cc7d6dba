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

variable "ssh_from" {
  description = "CIDR blocks from which the bastion takes SSH, such as your own address with /32."
  type        = list(string)

  validation {
    condition     = length(var.ssh_from) > 0 && alltrue([for range in var.ssh_from : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "ssh_from must name at least one CIDR block such as 203.0.113.7/32, and never everybody (/0)."
  }
}

variable "ssh_public_key" {
  description = "Public key that may log in, such as the content of id_ed25519.pub; one that the account does not have yet."
  type        = string

  validation {
    condition     = can(regex("^(ssh-|ecdsa-)", var.ssh_public_key))
    error_message = "ssh_public_key must begin with ssh- or ecdsa-."
  }
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "bastion_size" {
  description = "Size of the bastion."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "consul_size" {
  description = "Size of the Consul server."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}

variable "consul_version" {
  description = "Consul version."
  type        = string
  default     = "1.21.5"
}
