"""What the microscope does to light, and how it is undone without learning."""
