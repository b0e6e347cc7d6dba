output "cluster_id" {
  description = "The cluster; its credentials are got with it, and are no output."
  value       = digitalocean_kubernetes_cluster.run.id
}

output "pool" {
  description = "Value of the label and the taint infra-gym/pool of the nodes for the app."
  value       = "app"
}

output "nodes" {
  description = "Nodes for the app that were asked for."
  value       = digitalocean_kubernetes_node_pool.app.node_count
}
