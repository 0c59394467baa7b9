"""Pages that need more than plotly's own controls."""
