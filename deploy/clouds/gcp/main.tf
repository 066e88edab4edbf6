# Postern on Google Cloud: the enclave on TDX (C3) or SEV-SNP (N2D, C4D), and the relay beside it.
# Grade of binding: TDX "our bytes by the CPU's signature"; SEV_SNP "firmware only". See ../README.md.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

variable "project" {
  type = string
}

variable "zone" {
  type    = string
  default = "europe-west4-a"
}

variable "technology" {
  description = "TDX or SEV_SNP"
  type        = string
  default     = "TDX"
  validation {
    condition     = contains(["TDX", "SEV_SNP"], var.technology)
    error_message = "TDX or SEV_SNP: plain SEV proves nothing."
  }
}

variable "image_archive" {
  description = "gs:// address of postern-cloud.tar.gz"
  type        = string
}

variable "configuration" {
  description = "The enclave's configuration file; it holds no secrets"
  type        = string
}

variable "relay_image" {
  description = "Container image of postern-host"
  type        = string
}

provider "google" {
  project = var.project
  zone    = var.zone
}

locals {
  machine_type = var.technology == "TDX" ? "c3-standard-4" : "n2d-standard-4"
}

resource "google_compute_network" "postern" {
  name                    = "postern"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "postern" {
  name          = "postern"
  network       = google_compute_network.postern.id
  ip_cidr_range = "10.80.0.0/24"
  region        = join("-", slice(split("-", var.zone), 0, 2))
}

resource "google_compute_image" "postern" {
  name = "postern-cloud"
  raw_disk {
    source = var.image_archive
  }
  guest_os_features {
    type = "UEFI_COMPATIBLE"
  }
  guest_os_features {
    type = "GVNIC"
  }
  guest_os_features {
    type = var.technology == "TDX" ? "TDX_CAPABLE" : "SEV_SNP_CAPABLE"
  }
}

resource "google_compute_instance" "enclave" {
  name         = "postern-enclave"
  machine_type = local.machine_type
  tags         = ["postern-enclave"]

  boot_disk {
    initialize_params {
      image = google_compute_image.postern.self_link
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.postern.id
    network_ip = "10.80.0.10"
    nic_type   = "GVNIC"
    # No address of its own: it is reached and reaches out through the relay.
  }

  confidential_instance_config {
    enable_confidential_compute = true
    confidential_instance_type  = var.technology
  }

  scheduling {
    on_host_maintenance = "TERMINATE"
  }

  shielded_instance_config {
    enable_vtpm                 = true
    enable_integrity_monitoring = false
    enable_secure_boot          = false
  }

  metadata = {
    postern-config         = var.configuration
    serial-port-enable     = "false"
    block-project-ssh-keys = "true"
  }
}

resource "google_compute_instance" "relay" {
  name         = "postern-relay"
  machine_type = "e2-small"
  tags         = ["postern-relay"]

  boot_disk {
    initialize_params {
      image = "cos-cloud/cos-stable"
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.postern.id
    network_ip = "10.80.0.2"
    access_config {}
  }

  metadata = {
    user-data = templatefile("${path.module}/../host/relay.cloud-init.yaml", {
      relay_image = var.relay_image
      enclave     = "10.80.0.10:8443"
      listen      = "10.80.0.2:9000"
    })
  }
}

resource "google_compute_firewall" "clients" {
  name          = "postern-clients"
  network       = google_compute_network.postern.id
  target_tags   = ["postern-relay"]
  source_ranges = ["0.0.0.0/0"]
  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

resource "google_compute_firewall" "relay_to_enclave" {
  name        = "postern-relay-to-enclave"
  network     = google_compute_network.postern.id
  target_tags = ["postern-enclave"]
  source_tags = ["postern-relay"]
  allow {
    protocol = "tcp"
    ports    = ["8443"]
  }
}

resource "google_compute_firewall" "enclave_to_relay" {
  name        = "postern-enclave-to-relay"
  network     = google_compute_network.postern.id
  target_tags = ["postern-relay"]
  source_tags = ["postern-enclave"]
  allow {
    protocol = "tcp"
    ports    = ["9000"]
  }
}

resource "google_compute_firewall" "enclave_out" {
  name               = "postern-enclave-out"
  network            = google_compute_network.postern.id
  direction          = "EGRESS"
  target_tags        = ["postern-enclave"]
  destination_ranges = ["0.0.0.0/0"]
  priority           = 65000
  deny {
    protocol = "all"
  }
}

resource "google_compute_firewall" "enclave_out_to_relay" {
  name               = "postern-enclave-out-to-relay"
  network            = google_compute_network.postern.id
  direction          = "EGRESS"
  target_tags        = ["postern-enclave"]
  destination_ranges = ["10.80.0.2/32"]
  allow {
    protocol = "tcp"
    ports    = ["9000"]
  }
}

output "clients_connect_to" {
  value = google_compute_instance.relay.network_interface[0].access_config[0].nat_ip
}
