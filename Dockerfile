# topiq in an image of its own: the program, the certificates of public authorities, and nothing else.
#
#   docker build --build-arg VERSION=$(git describe --tags --always --dirty) -t topiq .
#
# docs/operations.md says how to run it.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-X main.version=$VERSION" -o /out/topiq ./cmd/topiq
# scratch has no program that could make a directory and give it away.
RUN mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /out/topiq /topiq
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /var/lib/topiq
USER 65532:65532
ENV TOPIQ_ADDR=0.0.0.0:8080 TOPIQ_STORE=sqlite:/var/lib/topiq/topiq.db
VOLUME /var/lib/topiq
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/topiq", "health"]
ENTRYPOINT ["/topiq"]
# Others can reach it, so it refuses to start without a further word: --auth, or --insecure-no-auth.
CMD ["serve"]
