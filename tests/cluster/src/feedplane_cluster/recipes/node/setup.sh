#!/bin/bash
# Makes a Debian root file system a kind node, as the Dockerfile of kind's base image does.
# setup.sh ROOT KIND_SOURCES KUBERNETES_VERSION RESTRICTED(0|1); the binaries are in ROOT/usr/bin already.
set -euo pipefail
root=$1 files=$2/images/base/files version=$3 restricted=$4

# The sources are a read-only module cache; modes are given here as that Dockerfile gives them.
mkdir -p "$root"/{kind/bin,kind/manifests,etc/kubernetes/manifests,opt/cni,LICENSES}
cp -r --no-preserve=mode "$files"/usr/local/bin/. "$root/usr/local/bin/"
cp -r --no-preserve=mode "$files"/kind/. "$root/kind/"
cp -r --no-preserve=mode "$files"/etc/. "$root/etc/"
chmod 755 "$root"/usr/local/bin/{entrypoint,clean-install} "$root"/kind/bin/*

# Debian's containerd and CNI plugins stand in other places than kind's own builds.
sed -i 's#/usr/local/bin/containerd#/usr/bin/containerd#' "$root/etc/systemd/system/containerd.service"
ln -sfn /usr/lib/cni "$root/opt/cni/bin"

units=$root/lib/systemd/system
rm -f "$units"/multi-user.target.wants/* "$units"/basic.target.wants/* "$units"/local-fs.target.wants/* \
  "$units"/sockets.target.wants/*udev* "$units"/sockets.target.wants/*initctl* \
  "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service "$root"/etc/systemd/system/*.wants/*
echo "ReadKMsg=no" >> "$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"
chroot "$root" systemctl enable kubelet.service containerd.service undo-mount-hacks.service
chroot "$root" systemctl mask systemd-binfmt.service

# kind asks crictl only whether an image is there already; "no" is always a safe answer.
printf '#!/bin/sh\nexit 1\n' > "$root/usr/local/bin/crictl"
chmod 755 "$root/usr/local/bin/crictl"

chroot "$root" ctr oci spec |
  jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > "$root/etc/containerd/cri-base.json"
echo "$version" > "$root/kind/version"

if [ "$restricted" = 1 ]; then
  # No process here may raise limits or lower its OOM score, so nothing may try.
  sed -i -E '/^(Limit[A-Z]+|OOMScoreAdjust)=/d' "$root/etc/systemd/system/containerd.service"
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$root/etc/containerd/config.toml"
fi

# The storage manifest is a Go constant in kind's sources: two image names are joined into it.
constants=$2/pkg/build/nodeimage/const_storage.go
name() { sed -n "s/^const $1 = \"\(.*\)\"/\1/p" "$constants"; }
sed -n '/^const defaultStorageManifest/,/^`$/p' "$constants" | sed -e '1d' -e '/^`$/d' \
  -e "s#\` + storageProvisionerImage + \`#$(name storageProvisionerImage)#" \
  -e "s#\` + storageHelperImage + \`#$(name storageHelperImage)#" > "$root/kind/manifests/default-storage.yaml"
