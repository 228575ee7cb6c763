"""The equations: pure functions of tensors, no state, no reduction hidden inside."""
