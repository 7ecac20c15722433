# Earshot in an image of its own: one static binary, run by nobody in particular.
#
#   docker build -t earshot .
#   docker run -e JWT_PUBLIC_KEY_B64=... -p 127.0.0.1:8080:8080 earshot
#   docker run -v "$PWD/earshot.toml:/data/earshot.toml:ro" -v earshot:/data/earshot-data -p 8080:8080 earshot
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/earshot ./cmd/earshot \
 && mkdir -p /out/data/earshot-data /out/root/tmp && chmod 1777 /out/root/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/data /data
# What is below the copied directory keeps its mode; the directory itself would not.
COPY --from=build /out/root /
COPY --from=build /out/earshot /earshot
USER 65532:65532
WORKDIR /data
ENV HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["/earshot"]
CMD ["serve"]
