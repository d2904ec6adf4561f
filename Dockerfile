# syntax=docker/dockerfile:1
# One static binary on an empty image.

FROM rust:1-bookworm AS build
# `release` compiles much faster, into a larger and slower binary.
ARG PROFILE=dist
WORKDIR /src
COPY . .
# A static glibc binary: name resolution works with nothing but /etc/resolv.conf in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --profile "$PROFILE" --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp "target/$(rustc -vV | sed -n 's/^host: //p')/$PROFILE/hookward" /hookward \
    && mkdir -p /image/var/lib/hookward /image/etc/hookward /image/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /hookward /usr/local/bin/hookward
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
WORKDIR /var/lib/hookward
VOLUME /var/lib/hookward
EXPOSE 8080 8081
HEALTHCHECK CMD ["/usr/local/bin/hookward", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/hookward"]
CMD ["serve"]
