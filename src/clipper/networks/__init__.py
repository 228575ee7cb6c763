"""Networks: from observations to distributions over actions and to values."""
