output "name" {
  description = "What was made."
  value       = terraform_data.this.output
}
