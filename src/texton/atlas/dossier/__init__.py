"""What an evidence folder and the weights say of an atlas's filters, for their pages."""
