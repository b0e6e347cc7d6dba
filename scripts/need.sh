#!/bin/sh
# Finds what a target of the Makefile needs, installs it where that is safe, else says what to type.
#
#   scripts/need.sh python       prints the first Python of 3.11 or later that can make environments
#   scripts/need.sh terraform    checks that terraform or tofu is there
#   scripts/need.sh prometheus   checks that prometheus is there; installs it where it may
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Prints how to become root without being asked for a password; fails where that cannot be.
root() {
  if [ "$(id -u)" = 0 ]; then
    echo env
  elif has sudo && sudo -n true 2>/dev/null; then
    echo 'sudo -n'
  else
    return 1
  fi
}

# apt-get install, but start nothing: a service of our own choosing is all that should run.
apt_install() {
  as_root=$(root) || return 1
  say "Installing $1 with apt-get."
  $as_root sh -eu -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap '\''rm -f "$policy"'\'' EXIT INT TERM
      printf "#!/bin/sh\nexit 101\n" >"$policy"
      chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    said=$(
      { apt-get -q update && apt-get -q install -y --no-install-recommends "$1"; } 2>&1
    ) || { printf "%s\n" "$said"; exit 1; }
  ' sh "$1" >&2
}

need_python() {
  version='import sys; sys.exit(sys.version_info < (3, 11))'
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    has "$candidate" && "$candidate" -c "$version" 2>/dev/null || continue
    if ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      package=$("$candidate" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
      if ! has apt-get || ! apt_install "$package"; then
        die "$candidate cannot make virtual environments. Type: sudo apt-get install $package"
      fi
    fi
    command -v "$candidate"
    return
  done
  say "Python 3.11 or later is needed; looked for: ${PYTHON:-python3, python3.14 to python3.11}."
  die 'Install one, then name it: make demo PYTHON=/path/to/python3.12'
}

need_terraform() {
  if [ -n "${INFRA_GYM_BINARY:-}" ]; then
    has "$INFRA_GYM_BINARY" || die "INFRA_GYM_BINARY names $INFRA_GYM_BINARY, which is not there."
    return
  fi
  if has terraform || has tofu; then return; fi
  say 'Terraform 1.10 or later, or OpenTofu 1.10 or later, is needed. Either will do. Type:'
  if has brew; then
    die '  brew install opentofu'
  elif has snap; then
    die '  sudo snap install --classic opentofu'
  fi
  say '  curl -fsSL https://get.opentofu.org/install-opentofu.sh -o install-opentofu.sh'
  say '  sh install-opentofu.sh --install-method deb    # rpm on Fedora, apk on Alpine'
  die 'or see https://developer.hashicorp.com/terraform/install'
}

need_prometheus() {
  wanted=${INFRA_GYM_PROMETHEUS:-prometheus}
  if has "$wanted"; then return; fi
  [ -z "${INFRA_GYM_PROMETHEUS:-}" ] || die "INFRA_GYM_PROMETHEUS names $wanted, which is not there."
  if has brew; then
    say 'Installing prometheus with brew.'
    brew install --quiet prometheus >&2
  elif has apt-get; then
    apt_install prometheus ||
      die 'Prometheus is needed. Type: sudo apt-get install --no-install-recommends prometheus'
    # Debian's package enables a service for the next boot; environments start their own.
    if has systemctl; then $(root) systemctl disable prometheus >/dev/null 2>&1 || true; fi
  fi
  has prometheus || die 'Prometheus is needed: see https://prometheus.io/download/ and put it on the PATH.'
}

case ${1:-} in
  python | terraform | prometheus) "need_$1" ;;
  *) die "usage: $0 python|terraform|prometheus" ;;
esac
