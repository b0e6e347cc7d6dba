variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps); \"\" where the image has /app/heater.py."
  type        = string
}

variable "pool" {
  description = "Nodes for the app, by their label and taint infra-gym/pool (output of do/managed-k8s); \"\": any."
  type        = string
}

variable "image" {
  description = "Image with python3; pinned, public, so that nothing has to be built for a first run."
  type        = string
  default     = "python:3.12-slim"
}

variable "replicas" {
  description = "Pods that are wanted."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 0 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number of at least 0."
  }
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

variable "work" {
  description = "What a request does: wait, or cpu (burn processor time)."
  type        = string
  default     = "wait"

  validation {
    condition     = contains(["wait", "cpu"], var.work)
    error_message = "work must be wait or cpu."
  }
}

variable "drain_s" {
  description = "Seconds that a replica still takes requests after it was told to stop."
  type        = number
  default     = 3
}

variable "start_delay_s" {
  description = "Seconds that a replica takes to boot."
  type        = number
  default     = 0
}

variable "cpu_request" {
  description = "Processor time that a pod needs to be placed, such as 50m."
  type        = string
  default     = "50m"
}

variable "cpu_limit" {
  description = "Processor time that a pod gets at most, such as 500m."
  type        = string
  default     = "500m"
}

variable "memory" {
  description = "Memory that a pod needs to be placed, and gets at most."
  type        = string
  default     = "64Mi"
}

variable "cpu_millicores" {
  description = "Processor time that a pod asks for and gets, in thousandths of a processor; takes the place of cpu_request and cpu_limit."
  type        = number
  default     = null
}

variable "query" {
  description = "SQL that each request runs first, such as SELECT 1; \"\" for none."
  type        = string
  default     = ""
}

variable "query_connections" {
  description = "Connections to the database that a replica has at most."
  type        = number
  default     = 4
}

variable "database" {
  description = "HOST:PORT of a PostgreSQL server (output of k8s/postgresql); only where there is a query."
  type        = string
  default     = ""

  validation {
    condition     = var.database == "" || can(regex("^[^:]+:[0-9]+$", var.database))
    error_message = "database must be HOST:PORT."
  }
}

variable "database_secret" {
  description = "Secret with username, password and database (output of k8s/postgresql)."
  type        = string
  default     = ""
}
