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

variable "watch_from" {
  description = "CIDR blocks from which infra-gym reaches Prometheus and the siege engine: your own address with /32."
  type        = list(string)

  validation {
    condition     = length(var.watch_from) > 0 && alltrue([for range in var.watch_from : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "watch_from must name at least one CIDR block such as 203.0.113.7/32, and never everybody (/0)."
  }
}

variable "docker_version" {
  description = "Docker version."
  type        = string
  default     = "28.5.2"
}

variable "scrape_interval_s" {
  description = "Seconds between two scrapes."
  type        = number
  default     = 1
}

variable "slots" {
  description = "Requests that a replica serves at once."
  type        = number
  default     = 4
}

variable "service_time_s" {
  description = "Seconds that a request takes."
  type        = number
  default     = 0.1
}

variable "queue_limit" {
  description = "Requests that may wait in a replica; one more gets 503."
  type        = number
  default     = 64
}

variable "timeout_s" {
  description = "Seconds that a request may take."
  type        = number
  default     = 5
}

variable "max_in_flight" {
  description = "Requests under way at once; one more is dropped."
  type        = number
  default     = 512
}

variable "size" {
  description = "Size of the manager."
  type        = string
  default     = "s-2vcpu-2gb"
}

variable "image" {
  description = "Image of the droplets; the programs are written for Ubuntu 24.04."
  type        = string
  default     = "ubuntu-24-04-x64"
}
