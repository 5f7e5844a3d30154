"""The settings of a workspace, and YAML that remembers its lines."""
