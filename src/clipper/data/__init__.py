"""The batch that everything passes on, and the trees that it is made of."""
