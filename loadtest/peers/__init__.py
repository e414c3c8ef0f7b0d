"""What people would use instead, each as its users would write it: to be measured beside ours."""
