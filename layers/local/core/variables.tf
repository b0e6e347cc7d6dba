variable "run_folder" {
  description = "Folder for processes and their files: their working directory. Made, and removed when empty."
  type        = string
}

variable "python" {
  description = "Python interpreter that has the packages supervisor and psutil."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}
