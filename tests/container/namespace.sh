#!/bin/bash
# The first process of the engine's namespaces: makes everything that podman writes to private and in memory, says that it
# is ready, and waits for the test to end. When its standard input closes, for whatever reason, it ends, and with it every
# process, mount and network in here.
set -euo pipefail

mount --make-rprivate /
resolv=$(readlink -f /etc/resolv.conf)
cp "$resolv" "$1/resolv.conf"
mkdir -p /etc/containers /var/lib/containers
for place in /run /dev/shm /etc/containers /var/lib/containers; do
  mount -t tmpfs tmpfs "$place"
done
if [[ ! -e $resolv ]]; then
  mkdir -p "${resolv%/*}"
  cp "$1/resolv.conf" "$resolv"
fi

cat > /etc/containers/containers.conf <<'END'
[containers]
# Resource limits are the host's business; setting them needs capabilities that a CI machine may not give.
cgroups = "disabled"
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
[network]
network_backend = "netavark"
END
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
# Nothing may be pulled: every image is made here.
printf 'unqualified-search-registries = []\nshort-name-mode = "disabled"\n' > /etc/containers/registries.conf

# crun wants either kind of control groups, not both.
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

echo ready
while read -r; do :; done
