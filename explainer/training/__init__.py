"""What trains: losses' sums, LightningModules, callbacks."""
