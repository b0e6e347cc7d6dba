"""What DigitalOcean offers, as far as the layers need it: regions, sizes, images, versions.

Prices are those of DigitalOcean's price list in 2026.
"""

from __future__ import annotations

from typing import Any

from infra_gym.testing.digitalocean.account import unprocessable

REGIONS = {
    "ams3": "Amsterdam 3",
    "fra1": "Frankfurt 1",
    "nyc3": "New York 3",
    "sfo3": "San Francisco 3",
}

# slug: (vCPUs, MiB of memory, GiB of disk, TB of transfer, dollars a month)
_SIZES = {
    "s-1vcpu-1gb": (1, 1024, 25, 1.0, 6),
    "s-1vcpu-2gb": (1, 2048, 50, 2.0, 12),
    "s-2vcpu-2gb": (2, 2048, 60, 3.0, 18),
    "s-2vcpu-4gb": (2, 4096, 80, 4.0, 24),
    "s-4vcpu-8gb": (4, 8192, 160, 5.0, 48),
    "s-8vcpu-16gb": (8, 16384, 320, 6.0, 96),
}
_SMALLEST_NODE_MIB = 2048

VERSIONS = {"1.34.4-do.0": "1.34.4", "1.33.8-do.0": "1.33.8"}
"""Kubernetes versions: DigitalOcean's slug and Kubernetes' own."""

_IMAGES = {"debian-12-x64": ("Debian", "12 x64"), "ubuntu-24-04-x64": ("Ubuntu", "24.04 (LTS) x64")}

HA_USD_PER_HOUR = 40 / 672
LOAD_BALANCER_USD_PER_HOUR = 12 / 672
VOLUME_USD_PER_GIB_HOUR = 0.10 / 672
RESERVED_IP_USD_PER_HOUR = 5 / 672
"""While no droplet has it."""


def usd_per_hour(slug: str) -> float:
    """What a droplet or node of this size costs."""
    return round(_SIZES[slug][4] / 672, 5)


def size(slug: str) -> dict[str, Any]:
    """A size as the API tells it; 422 for an unknown one."""
    if slug not in _SIZES:
        raise unprocessable(f"{slug} is not a valid size")
    vcpus, memory, disk, transfer, monthly = _SIZES[slug]
    return {
        "slug": slug,
        "available": True,
        "description": "Basic",
        "vcpus": vcpus,
        "memory": memory,
        "disk": disk,
        "transfer": transfer,
        "price_monthly": float(monthly),
        "price_hourly": usd_per_hour(slug),
        "regions": sorted(REGIONS),
    }


def sizes() -> list[dict[str, Any]]:
    """All sizes."""
    return [size(slug) for slug in _SIZES]


def region(slug: str) -> dict[str, Any]:
    """A region as the API tells it; 422 for an unknown one."""
    if slug not in REGIONS:
        raise unprocessable(f"{slug} is not a valid region")
    return {
        "slug": slug,
        "name": REGIONS[slug],
        "available": True,
        "features": ["backups", "ipv6", "metadata", "storage"],
        "sizes": list(_SIZES),
    }


def regions() -> list[dict[str, Any]]:
    """All regions."""
    return [region(slug) for slug in REGIONS]


def image(slug: Any) -> dict[str, Any]:
    """An image as the API tells it; 422 for an unknown one."""
    if slug not in _IMAGES:
        raise unprocessable("You specified an invalid image for Droplet creation.")
    distribution, name = _IMAGES[slug]
    return {
        "id": 150_000_001 + list(_IMAGES).index(slug),
        "slug": slug,
        "name": name,
        "distribution": distribution,
        "public": True,
        "regions": sorted(REGIONS),
        "type": "base",
        "min_disk_size": 7,
        "size_gigabytes": 1.0,
        "status": "available",
        "created_at": "2026-01-15T10:00:00Z",
        "description": f"{distribution} {name}",
        "tags": [],
    }


def images() -> list[dict[str, Any]]:
    """All images."""
    return [image(slug) for slug in _IMAGES]


def node_sizes() -> list[str]:
    """Sizes that a cluster's nodes may have."""
    return [slug for slug, values in _SIZES.items() if values[1] >= _SMALLEST_NODE_MIB]


def kubernetes_options() -> dict[str, Any]:
    """What ``/v2/kubernetes/options`` tells."""
    return {
        "regions": [{"name": name, "slug": slug} for slug, name in REGIONS.items()],
        "sizes": [{"name": slug, "slug": slug} for slug in node_sizes()],
        "versions": [
            {
                "slug": slug,
                "kubernetes_version": version,
                "supported_features": ["cluster-autoscaler"],
            }
            for slug, version in VERSIONS.items()
        ],
    }
