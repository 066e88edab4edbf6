# Postern on AWS with SEV-SNP, and the relay beside it.
# Grade of binding: firmware only. SNP reports are signed with a VLEK, which proves Amazon's fleet and no processor.

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "snapshot" {
  description = "Snapshot of postern-cloud.raw: aws ec2 import-snapshot, or coldsnap upload postern-cloud.raw"
  type        = string
}

variable "configuration" {
  description = "The enclave's configuration file; it holds no secrets"
  type        = string
}

variable "relay_ami" {
  description = "A current Linux image with cloud-init and Docker"
  type        = string
}

variable "relay_image" {
  description = "Container image of postern-host"
  type        = string
}

provider "aws" {
  region = var.region
}

resource "aws_vpc" "postern" {
  cidr_block = "10.80.0.0/16"
}

resource "aws_subnet" "postern" {
  vpc_id     = aws_vpc.postern.id
  cidr_block = "10.80.0.0/24"
}

resource "aws_internet_gateway" "postern" {
  vpc_id = aws_vpc.postern.id
}

resource "aws_route_table" "postern" {
  vpc_id = aws_vpc.postern.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.postern.id
  }
}

resource "aws_route_table_association" "postern" {
  subnet_id      = aws_subnet.postern.id
  route_table_id = aws_route_table.postern.id
}

resource "aws_ami" "postern" {
  name                = "postern-cloud"
  architecture        = "x86_64"
  virtualization_type = "hvm"
  boot_mode           = "uefi"
  tpm_support         = "v2.0"
  ena_support         = true
  imds_support        = "v2.0"
  root_device_name    = "/dev/xvda"
  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = var.snapshot
  }
}

resource "aws_security_group" "relay" {
  name   = "postern-relay"
  vpc_id = aws_vpc.postern.id
  ingress {
    description = "clients"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  ingress {
    description     = "the enclave's way out"
    from_port       = 9000
    to_port         = 9000
    protocol        = "tcp"
    security_groups = [aws_security_group.enclave.id]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "enclave" {
  name   = "postern-enclave"
  vpc_id = aws_vpc.postern.id
}

resource "aws_vpc_security_group_ingress_rule" "relay_to_enclave" {
  security_group_id            = aws_security_group.enclave.id
  referenced_security_group_id = aws_security_group.relay.id
  ip_protocol                  = "tcp"
  from_port                    = 8443
  to_port                      = 8443
}

resource "aws_vpc_security_group_egress_rule" "enclave_to_relay" {
  security_group_id            = aws_security_group.enclave.id
  referenced_security_group_id = aws_security_group.relay.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
}

resource "aws_instance" "enclave" {
  ami                    = aws_ami.postern.id
  instance_type          = "m6a.large"
  subnet_id              = aws_subnet.postern.id
  private_ip             = "10.80.0.10"
  vpc_security_group_ids = [aws_security_group.enclave.id]
  user_data              = var.configuration
  cpu_options {
    amd_sev_snp = "enabled"
  }
  metadata_options {
    http_tokens = "required"
  }
}

resource "aws_instance" "relay" {
  ami                         = var.relay_ami
  instance_type               = "t3a.small"
  subnet_id                   = aws_subnet.postern.id
  private_ip                  = "10.80.0.5"
  associate_public_ip_address = true
  vpc_security_group_ids      = [aws_security_group.relay.id]
  user_data = templatefile("${path.module}/../host/relay.cloud-init.yaml", {
    relay_image = var.relay_image
    enclave     = "10.80.0.10:8443"
    listen      = "10.80.0.5:9000"
  })
}

output "clients_connect_to" {
  value = aws_instance.relay.public_ip
}
