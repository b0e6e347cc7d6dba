#!/bin/bash
# Makes a fresh Ubuntu droplet a part of a run. cloud-init calls it once, as root:
#
#   droplet.sh consul VERSION
#   droplet.sh control-plane KUBERNETES FLANNEL CONSUL
#   droplet.sh minion KUBERNETES CONTROL_PLANE CONSUL
#   droplet.sh nomad VERSION server|client
#   droplet.sh swarm-manager DOCKER CONSUL
#   droplet.sh swarm-worker DOCKER MANAGER CONSUL
#
# What is needed to join lies in no file that is given to a droplet: who gives it out makes it, puts it
# into Consul, and a timer replaces it before it expires:
#
#   droplet.sh renew-kubeadm|renew-swarm CONSUL
set -euo pipefail

self=/usr/local/sbin/infra-gym-droplet
metadata=http://169.254.169.254/metadata/v1
private_interface=eth1
export DEBIAN_FRONTEND=noninteractive

say() { printf 'infra-gym: %s\n' "$*" >&2; }

# Runs a command until it succeeds, half an hour at most.
insist() { # COMMAND...
  local left=180
  until "$@"; do
    left=$((left - 1))
    if [ "$left" = 0 ]; then
      say "gave up: $*"
      return 1
    fi
    sleep 10
  done
}

private_address() {
  insist curl -fsS --max-time 10 "$metadata/interfaces/private/0/ipv4/address"
}

# ---------------------------------------------------------------- packages

# Adds an archive of packages that is signed with the key of this fingerprint.
add_archive() { # NAME KEY_URL FINGERPRINT SOURCE...
  local name=$1 url=$2 fingerprint=$3 key=/etc/apt/keyrings/$1.asc
  shift 3
  install -d -m 0755 /etc/apt/keyrings
  insist curl -fsSL --max-time 60 -o "$key" "$url"
  # Not grep -q: it would end before gpg has said all, which counts as gpg's failure.
  if ! gpg --show-keys --with-colons "$key" | grep "^fpr:.*:$fingerprint:\$" >/dev/null; then
    say "$url is not the key $fingerprint"
    return 1
  fi
  printf 'deb [signed-by=%s] %s\n' "$key" "$*" >"/etc/apt/sources.list.d/$name.list"
}

# Installs packages and keeps them at the versions that are named.
install_packages() { # PACKAGE=VERSION...
  insist apt-get -o DPkg::Lock::Timeout=600 -q update
  insist apt-get -o DPkg::Lock::Timeout=600 -q -y --no-install-recommends install "$@"
  apt-mark hold "${@%%=*}"
}

add_hashicorp() {
  add_archive hashicorp https://apt.releases.hashicorp.com/gpg \
    798AEC654E5C15428C8E42EEAA16FCBCA621E701 https://apt.releases.hashicorp.com noble main
}

install_docker() { # VERSION
  add_archive docker https://download.docker.com/linux/ubuntu/gpg \
    9DC858229FC7DD38854AE2D88D81803C0EBFCD88 https://download.docker.com/linux/ubuntu noble stable
  install_packages "docker-ce=5:$1-*" "docker-ce-cli=5:$1-*"
}

# ---------------------------------------------------------------- handing over what is needed to join

publish() { # CONSUL KEY VALUE
  # By standard input: what stands in a command line can be read by every program on the droplet.
  printf '%s' "$3" | curl -fsS --max-time 10 -o /dev/null -X PUT --data-binary @- \
    "http://$1:8500/v1/kv/infra-gym/$2"
}

# Prints a value once there is one of the form that is expected; anything else is not used.
await() { # CONSUL KEY PATTERN
  local value
  while :; do
    value=$(curl -fsS --max-time 10 "http://$1:8500/v1/kv/infra-gym/$2?raw" 2>/dev/null) || value=
    if [[ $value =~ ^$3$ ]]; then
      printf '%s' "$value"
      return
    fi
    sleep 5
  done
}

# Containers have no business with Consul; what they send passes here, what the droplet itself sends
# does not.
close_consul() { # CONSUL
  cat >/etc/systemd/system/infra-gym-close-consul.service <<UNIT
[Unit]
Description=Keep containers away from Consul
Before=docker.service containerd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=iptables -t raw -I PREROUTING -d $1 -p tcp --dport 8500 -j DROP

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now infra-gym-close-consul.service
}

renew_every_half_hour() { # COMMAND CONSUL
  cat >/etc/systemd/system/infra-gym-renew.service <<UNIT
[Unit]
Description=Renew what is needed to join

[Service]
Type=oneshot
ExecStart=$self $1 $2
UNIT
  cat >/etc/systemd/system/infra-gym-renew.timer <<UNIT
[Unit]
Description=Renew what is needed to join

[Timer]
OnActiveSec=30min
OnUnitActiveSec=30min

[Install]
WantedBy=timers.target
UNIT
  systemctl daemon-reload
  systemctl enable --now infra-gym-renew.timer
}

# ---------------------------------------------------------------- Consul and Nomad

consul() { # VERSION
  local address
  address=$(private_address)
  add_hashicorp
  install_packages "consul=$1-*"
  # One server without agents: nothing gossips, so there is no gossip key.
  cat >/etc/consul.d/consul.hcl <<HCL
data_dir         = "/opt/consul"
server           = true
bootstrap_expect = 1
bind_addr        = "$address"
client_addr      = "127.0.0.1 $address"
disable_update_check = true
HCL
  systemctl enable --now consul.service
}

nomad() { # VERSION server|client
  add_hashicorp
  install_packages "nomad=$1-*"
  install -m 0644 /etc/infra-gym/nomad.json /etc/nomad.d/nomad.json
  rm -f /etc/nomad.d/nomad.hcl
  systemctl enable --now nomad.service
  if [ "$2" = server ]; then
    (umask 077 && insist first_token)
  fi
}

# Makes the token of whoever may do everything; it lies on the server, for root.
first_token() {
  NOMAD_ADDR=http://$(private_address):4646 command nomad acl bootstrap -json >/root/nomad-token.json
}

# ---------------------------------------------------------------- Kubernetes

prepare_node() { # KUBERNETES
  local minor=${1%.*}
  swapoff -a
  printf 'overlay\nbr_netfilter\n' >/etc/modules-load.d/infra-gym.conf
  modprobe overlay
  modprobe br_netfilter
  cat >/etc/sysctl.d/90-infra-gym.conf <<'SYSCTL'
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
SYSCTL
  sysctl --system >/dev/null
  add_archive kubernetes "https://pkgs.k8s.io/core:/stable:/v$minor/deb/Release.key" \
    DE15B14486CD377B9E876E1A234654DA9A296436 "https://pkgs.k8s.io/core:/stable:/v$minor/deb/" /
  install_packages 'containerd=1.7.*' "kubelet=$1-*" "kubeadm=$1-*" "kubectl=$1-*"
  install -d /etc/containerd
  containerd config default |
    sed 's/SystemdCgroup = false/SystemdCgroup = true/' >/etc/containerd/config.toml
  systemctl restart containerd.service
  printf 'KUBELET_EXTRA_ARGS=--node-ip=%s\n' "$(private_address)" >/etc/default/kubelet
}

control_plane() { # KUBERNETES FLANNEL CONSUL
  local address manifest=/etc/infra-gym/flannel.yaml
  address=$(private_address)
  close_consul "$3"
  prepare_node "$1"
  # kubeadm's own first token is never used; those that are come from renew_kubeadm.
  kubeadm init --kubernetes-version "v$1" --apiserver-advertise-address "$address" \
    --apiserver-cert-extra-sans 127.0.0.1 --pod-network-cidr 10.244.0.0/16 \
    --token-ttl 1m --skip-token-print
  insist curl -fsSL --max-time 60 -o "$manifest" \
    "https://github.com/flannel-io/flannel/releases/download/v$2/kube-flannel.yml"
  # Left alone, flannel would send what pods say over the public network.
  sed -i "s/^\( *\)- --kube-subnet-mgr\$/&\n\1- --iface=$private_interface/" "$manifest"
  grep -q -- "--iface=$private_interface" "$manifest"
  KUBECONFIG=/etc/kubernetes/admin.conf insist kubectl apply -f "$manifest"
  renew_kubeadm "$3"
  renew_every_half_hour renew-kubeadm "$3"
}

renew_kubeadm() { # CONSUL
  local token digest
  token=$(KUBECONFIG=/etc/kubernetes/admin.conf kubeadm token create --ttl 1h)
  digest=$(openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt |
    openssl pkey -pubin -outform der | sha256sum | cut -d ' ' -f 1)
  insist publish "$1" kubeadm "$token sha256:$digest"
}

minion() { # KUBERNETES CONTROL_PLANE CONSUL
  close_consul "$3"
  prepare_node "$1"
  insist join_cluster "$2" "$3"
}

join_cluster() { # CONTROL_PLANE CONSUL
  local value file status=0
  value=$(await "$2" kubeadm '[a-z0-9]{6}\.[a-z0-9]{16} sha256:[0-9a-f]{64}')
  file=$(mktemp)
  cat >"$file" <<YAML
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: "$1:6443"
    token: "${value%% *}"
    caCertHashes: ["${value##* }"]
YAML
  kubeadm join --config "$file" || status=$?
  rm -f "$file"
  if [ "$status" != 0 ]; then
    kubeadm reset --force
  fi
  return "$status"
}

# ---------------------------------------------------------------- Docker Swarm

swarm_manager() { # DOCKER CONSUL
  local address
  address=$(private_address)
  close_consul "$2"
  install_docker "$1"
  docker swarm init --advertise-addr "$address" --listen-addr "$address:2377" >/dev/null
  docker stack deploy --detach=true --compose-file /etc/infra-gym/stack.yaml app
  renew_swarm "$2"
  renew_every_half_hour renew-swarm "$2"
}

renew_swarm() { # CONSUL
  local token
  # Workers that were destroyed stay in the list until somebody takes them out.
  docker node ls --filter role=worker --format '{{.Status}} {{.ID}}' |
    while read -r status id; do
      [ "$status" != Down ] || docker node rm --force "$id"
    done
  token=$(docker swarm join-token --rotate --quiet worker)
  insist publish "$1" swarm "$token"
}

swarm_worker() { # DOCKER MANAGER CONSUL
  close_consul "$3"
  install_docker "$1"
  insist join_swarm "$2" "$3"
}

join_swarm() { # MANAGER CONSUL
  docker swarm join --token "$(await "$2" swarm 'SWMTKN-1-[a-z0-9]+-[a-z0-9]+')" "$1:2377"
}

main() {
  local role=$1
  shift
  case $role in
    consul) consul "$@" ;;
    control-plane) control_plane "$@" ;;
    minion) minion "$@" ;;
    nomad) nomad "$@" ;;
    swarm-manager) swarm_manager "$@" ;;
    swarm-worker) swarm_worker "$@" ;;
    renew-kubeadm) renew_kubeadm "$@" ;;
    renew-swarm) renew_swarm "$@" ;;
    *)
      say "there is no role $role"
      return 2
      ;;
  esac
}

# Only where it is run: tests read it to call its parts.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
