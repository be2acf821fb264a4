"""AWS as Titlecard uses it: DynamoDB, SQS, S3 and Secrets Manager."""
