"""The clouds' own interfaces, where Terraform is not enough: one module for each."""
