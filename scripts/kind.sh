#!/bin/sh
# Makes a Kubernetes cluster on this machine with kind, or uses the one that it made before, and
# prints what to type.
set -eu

name=infra-gym
folder=${1:?usage: $0 FOLDER}

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

has docker || die 'Docker is needed: see https://docs.docker.com/engine/install/'
docker info >/dev/null 2>&1 ||
  die 'Docker does not answer. Start it, or let yourself use it: sudo usermod -aG docker "$USER"'
if ! has kind; then
  say 'kind is needed. Type:'
  if has brew; then die '  brew install kind'; fi
  if has go; then die '  go install sigs.k8s.io/kind@latest, with $(go env GOPATH)/bin on the PATH'; fi
  die '  see https://kind.sigs.k8s.io/docs/user/quick-start/#installation'
fi

umask 077
mkdir -p "$folder"
kubeconfig=$(cd "$folder" && pwd)/kubeconfig
if kind get clusters 2>/dev/null | grep -qx "$name"; then
  kind export kubeconfig --quiet --name "$name" --kubeconfig "$kubeconfig"
else
  kind create cluster --name "$name" --kubeconfig "$kubeconfig" --wait 120s >&2
fi
say "The cluster $name is up; kind delete cluster --name $name removes it. Type:"
echo "export KUBECONFIG=$kubeconfig"
echo 'infra-gym run SimpleK8sWebApp-v0 --target k8s --agent hpa --steps 20'
