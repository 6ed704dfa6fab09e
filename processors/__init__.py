"""The processors that come with Tierform, one package each; found by the entry points of `tierform.processors`."""
