"""What operators change by hand: the controls of a drain and its sales, each change audited."""
