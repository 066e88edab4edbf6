# Postern on Azure: a confidential VM on SEV-SNP (DCasv6) or TDX (DCesv6), and the relay beside it.
# Grade of binding: through a paravisor. Microsoft is trusted with everything the guest does.

terraform {
  required_version = ">= 1.6"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

variable "location" {
  type    = string
  default = "westeurope"
}

variable "size" {
  description = "Standard_DC2as_v6 (SEV-SNP) or Standard_DC2es_v6 (TDX)"
  type        = string
  default     = "Standard_DC2as_v6"
}

variable "vhd" {
  description = "Address of postern-cloud.vhd as a page blob"
  type        = string
}

variable "storage_account" {
  description = "Resource id of the storage account that holds it"
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

variable "relay_key" {
  description = "SSH public key of the relay's operator; the enclave has no such door"
  type        = string
}

provider "azurerm" {
  features {}
}

resource "azurerm_resource_group" "postern" {
  name     = "postern"
  location = var.location
}

resource "azurerm_virtual_network" "postern" {
  name                = "postern"
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
  address_space       = ["10.80.0.0/16"]
}

resource "azurerm_subnet" "relay" {
  name                 = "relay"
  resource_group_name  = azurerm_resource_group.postern.name
  virtual_network_name = azurerm_virtual_network.postern.name
  address_prefixes     = ["10.80.0.0/24"]
}

resource "azurerm_subnet" "enclave" {
  name                            = "enclave"
  resource_group_name             = azurerm_resource_group.postern.name
  virtual_network_name            = azurerm_virtual_network.postern.name
  address_prefixes                = ["10.80.1.0/24"]
  default_outbound_access_enabled = false
}

resource "azurerm_network_security_group" "enclave" {
  name                = "postern-enclave"
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
  security_rule {
    name                       = "relay"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = "10.80.0.0/24"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "8443"
  }
  security_rule {
    name                       = "nothing-else-in"
    priority                   = 200
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
  security_rule {
    name                       = "to-relay"
    priority                   = 100
    direction                  = "Outbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "10.80.0.0/24"
    destination_port_range     = "9000"
  }
  security_rule {
    name                       = "nothing-else-out"
    priority                   = 200
    direction                  = "Outbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "enclave" {
  subnet_id                 = azurerm_subnet.enclave.id
  network_security_group_id = azurerm_network_security_group.enclave.id
}

resource "azurerm_shared_image_gallery" "postern" {
  name                = "postern"
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
}

resource "azurerm_shared_image" "postern" {
  name                      = "postern-cloud"
  gallery_name              = azurerm_shared_image_gallery.postern.name
  location                  = azurerm_resource_group.postern.location
  resource_group_name       = azurerm_resource_group.postern.name
  os_type                   = "Linux"
  hyper_v_generation        = "V2"
  confidential_vm_supported = true
  specialized               = true
  identifier {
    publisher = "postern"
    offer     = "postern"
    sku       = "cloud"
  }
}

resource "azurerm_shared_image_version" "postern" {
  name                = "0.1.0"
  gallery_name        = azurerm_shared_image_gallery.postern.name
  image_name          = azurerm_shared_image.postern.name
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
  blob_uri            = var.vhd
  storage_account_id  = var.storage_account
  target_region {
    name                   = azurerm_resource_group.postern.location
    regional_replica_count = 1
  }
}

resource "azurerm_network_interface" "enclave" {
  name                           = "postern-enclave"
  location                       = azurerm_resource_group.postern.location
  resource_group_name            = azurerm_resource_group.postern.name
  accelerated_networking_enabled = true
  ip_configuration {
    name                          = "own"
    subnet_id                     = azurerm_subnet.enclave.id
    private_ip_address_allocation = "Static"
    private_ip_address            = "10.80.1.10"
  }
}

resource "azurerm_linux_virtual_machine" "enclave" {
  name                  = "postern-enclave"
  location              = azurerm_resource_group.postern.location
  resource_group_name   = azurerm_resource_group.postern.name
  size                  = var.size
  network_interface_ids = [azurerm_network_interface.enclave.id]
  source_image_id       = azurerm_shared_image_version.postern.id
  secure_boot_enabled   = false
  vtpm_enabled          = true
  user_data             = base64encode(var.configuration)
  # There is no agent in the image, and nobody to log in.
  provision_vm_agent         = false
  allow_extension_operations = false
  os_disk {
    caching                  = "ReadOnly"
    storage_account_type     = "StandardSSD_LRS"
    security_encryption_type = "VMGuestStateOnly"
  }
}

resource "azurerm_public_ip" "relay" {
  name                = "postern-relay"
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
  allocation_method   = "Static"
}

resource "azurerm_network_interface" "relay" {
  name                = "postern-relay"
  location            = azurerm_resource_group.postern.location
  resource_group_name = azurerm_resource_group.postern.name
  ip_configuration {
    name                          = "own"
    subnet_id                     = azurerm_subnet.relay.id
    private_ip_address_allocation = "Static"
    private_ip_address            = "10.80.0.5"
    public_ip_address_id          = azurerm_public_ip.relay.id
  }
}

resource "azurerm_linux_virtual_machine" "relay" {
  name                  = "postern-relay"
  location              = azurerm_resource_group.postern.location
  resource_group_name   = azurerm_resource_group.postern.name
  size                  = "Standard_B2ts_v2"
  network_interface_ids = [azurerm_network_interface.relay.id]
  admin_username        = "operator"
  admin_ssh_key {
    username   = "operator"
    public_key = var.relay_key
  }
  custom_data = base64encode(templatefile("${path.module}/../host/relay.cloud-init.yaml", {
    relay_image = var.relay_image
    enclave     = "10.80.1.10:8443"
    listen      = "10.80.0.5:9000"
  }))
  source_image_reference {
    publisher = "Debian"
    offer     = "debian-12"
    sku       = "12-gen2"
    version   = "latest"
  }
  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "StandardSSD_LRS"
  }
}

output "clients_connect_to" {
  value = azurerm_public_ip.relay.ip_address
}
