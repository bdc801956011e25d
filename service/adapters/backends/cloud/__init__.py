"""What backends share whose steps run in the containers of a cloud: what a job is given, how it is looked at, what it left;
refuses to know any cloud, and a cloud's SDK."""
