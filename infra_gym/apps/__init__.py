"""Programs that layers run as files: single files that import nothing of the package."""
