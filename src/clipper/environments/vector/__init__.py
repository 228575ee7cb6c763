"""Several environments stepped together: in this process, in others, or natively. Empty: workers load few modules."""
