"""The steps of a night, each as a whole: ingestion, identity in seconds and in quality, and the bank they live on."""
