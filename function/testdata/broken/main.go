package main

func main() { lambda.Start(nothing) }
