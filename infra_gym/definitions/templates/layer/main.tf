# PROVIDER/NAME
#
# Layers know nothing of each other: what a layer needs comes in by variables, and a definition wires
# other layers' outputs to them. Replace this resource by your own.
resource "terraform_data" "this" {
  input = "${var.project}-${var.environment}"

  lifecycle {
    precondition {
      condition     = var.replicas >= 0
      error_message = "replicas must be at least 0."
    }
  }
}
