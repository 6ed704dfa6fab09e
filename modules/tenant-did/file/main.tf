# One text file, kept as it should be, with nothing but what Terraform has built in.
#
# - Written whole or not at all: to a staged file first, then renamed.
# - Rewritten without a gap when the content changes, and repaired when somebody altered or removed the file.
# - Removed on destroy, with the folders that are empty then, unless it holds what somebody else wrote.
#
# Content and paths reach the shell by its environment only, never as a part of a command.
# Each module carries its own copy of this folder: a module is shipped alone.

terraform {
  required_version = ">= 1.4"
}

variable "root" {
  description = "Absolute path of the folder that everything is kept in."
  type        = string
}

variable "path" {
  description = "Where the file goes, relative to the root."
  type        = string
}

variable "staged" {
  description = "Where the file is written before it is renamed, relative to the root; beside the file when null."
  type        = string
  default     = null
}

variable "content" {
  description = "The whole text; at most 96 KiB, what an environment variable can carry anywhere."
  type        = string

  validation {
    condition     = length(base64encode(var.content)) <= 128 * 1024
    error_message = "The content of a file must not be larger than 96 KiB."
  }
}

locals {
  folder = dirname(var.path)
  staged = coalesce(var.staged, "${local.folder}/.${basename(var.path)}.tmp")
  sha256 = sha256(var.content)
  intact = try(filesha256("${var.root}/${var.path}"), "") == local.sha256
}

# Who removes the file: one per content, because a replaced resource that is created before it is destroyed runs no
# destroy provisioner. It stands in the state before its content is written, so that nothing is forgotten after a crash,
# and goes after its successor's content is there, so that a change never takes the file away.
resource "terraform_data" "owned" {
  for_each = toset([sha256("${var.root}\n${var.path}\n${local.staged}\n${local.sha256}")])

  input = {
    root   = var.root
    path   = var.path
    staged = local.staged
    sha256 = local.sha256
  }

  lifecycle {
    create_before_destroy = true
  }

  provisioner "local-exec" {
    when  = destroy
    quiet = true
    environment = {
      ROOT    = self.output.root
      FILE    = self.output.path
      STAGED  = self.output.staged
      CONTENT = self.output.sha256
    }
    command = <<-EOT
      set -eu
      cd "$ROOT" 2>/dev/null || exit 0
      digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
      if [ -f "./$FILE" ]; then
        case "$(digest <"./$FILE")" in
          "$CONTENT"*) rm -f "./$FILE" ;;
          *) echo "keeping $ROOT/$FILE: it holds newer content" ;;
        esac
      fi
      rmdir -p "$(dirname "$FILE")" 2>/dev/null || :
      rmdir -p "$(dirname "$STAGED")" 2>/dev/null || :
    EOT
  }
}

resource "terraform_data" "written" {
  triggers_replace = {
    owned = keys(terraform_data.owned)
    # Always true once applied. Unknown when the file is not as it should be: that makes Terraform write it again, and
    # the run after that finds nothing to do.
    intact = local.intact ? true : timestamp() != ""
  }

  provisioner "local-exec" {
    quiet = true
    environment = {
      ROOT    = var.root
      FILE    = var.path
      STAGED  = local.staged
      CONTENT = var.content
    }
    command = <<-EOT
      set -eu
      umask 022
      mkdir -p "$ROOT"
      cd "$ROOT"
      if [ -d "./$FILE" ]; then echo "$ROOT/$FILE is a folder" >&2; exit 1; fi
      trap 'rm -f "./$STAGED"' EXIT
      write() {
        mkdir -p "$(dirname "$FILE")" "$(dirname "$STAGED")" && rm -f "./$STAGED" &&
          printf '%s' "$CONTENT" >"./$STAGED" && mv -f "./$STAGED" "./$FILE"
      }
      # Somebody else's disposal may take an empty folder away between two steps.
      write || write || write
      echo "wrote $ROOT/$FILE"
    EOT
  }
}
