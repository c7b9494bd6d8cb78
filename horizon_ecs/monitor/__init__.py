"""What a running server is doing: metrics, reports, alerts."""
