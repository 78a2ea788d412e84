"""The versions of everything the local cluster is made of, in one place."""

KIND = "v0.30.0"
KUBERNETES = "v1.34.4"
ETCD_IMAGE = "3.6.5-0"
COREDNS = "v1.12.1"
LOCAL_PATH_PROVISIONER = "v0.0.30"
HELM = "v3.19.5"
KWOK = "v0.8.0"

# The newest node image this kind release was published with, for machines that can pull it.
STOCK_NODE_IMAGE = "kindest/node:v1.34.0"
LOCAL_NODE_IMAGE = f"kindest/node:{KUBERNETES}"

# Image names that kubeadm and kind's storage manifest ask for.
PAUSE_IMAGES = ("registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:3.10")
LOCAL_PATH_IMAGE = "docker.io/kindest/local-path-provisioner:v20250214-acbabc1a"
LOCAL_PATH_HELPER_IMAGE = "docker.io/kindest/local-path-helper:v20241212-8ac705d0"

STOCK_PYTHON_IMAGE = "python:3.11-slim"
LOCAL_PYTHON_IMAGE = "local/python:3.11-noshell"
TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17"
