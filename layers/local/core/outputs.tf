output "supervisor" {
  description = "Path of the supervisor's configuration."
  value       = local.supervisor
  depends_on  = [terraform_data.supervisor]
}

output "run_folder" {
  description = "Folder for processes and their files."
  value       = var.run_folder
}

output "python" {
  description = "Python interpreter that has the packages supervisor and psutil."
  value       = var.python
}
