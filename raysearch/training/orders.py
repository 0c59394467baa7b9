"""What a lane answers to a report that is not the trial's last."""

GO, STOP = "go", "stop"
