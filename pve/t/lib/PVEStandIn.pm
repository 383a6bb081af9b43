# The parts of Proxmox VE that NautobotPlugin.pm uses, for a machine without PVE: the base class and
# plugin registry of SectionConfig, get_dhcp_ranges, corosync.conf, and api_request over LWP as in
# PVE (a new user agent for every call, 30 s timeout, pinned fingerprint, error bodies discarded).
# $PVEStandIn::requests counts its calls, $PVEStandIn::cluster is the cluster's name, $PVEStandIn::sdn
# the SDN configuration, edited and running: {zones, vnets, subnets}, each by ID.
package PVEStandIn;

use strict;
use warnings;

our $requests = 0;
our $cluster = $ENV{PVE_CLUSTER};
our $sdn = {};

$INC{$_} = __FILE__ for qw(
    PVE/Cluster.pm PVE/Corosync.pm PVE/JSONSchema.pm PVE/SectionConfig.pm PVE/Network/SDN.pm
    PVE/Network/SDN/Ipams/Plugin.pm PVE/Network/SDN/Subnets.pm PVE/Network/SDN/Vnets.pm
    PVE/Network/SDN/Zones.pm
);

package PVE::JSONSchema;

use base qw(Exporter);
our @EXPORT_OK = qw(get_standard_option);

sub get_standard_option {
    my ($name, $more) = @_;

    die "no standard option '$name'\n" if $name ne 'fingerprint-sha256';
    return { type => 'string', pattern => '([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}', %{ $more // {} } };
}

package PVE::Cluster;

sub cfs_read_file {
    my ($name) = @_;

    return {} if $name eq 'datacenter.cfg';
    die "unknown file '$name'\n" if $name ne 'corosync.conf';
    return {} if !defined($PVEStandIn::cluster);
    return { main => { totem => { cluster_name => $PVEStandIn::cluster } } };
}

package PVE::SectionConfig;

sub properties { return {} }
sub options { return {} }

sub register {
    my ($class) = @_;

    my ($type, $shared) = ($class->type(), $class->private());
    die "duplicate plugin registration (type = $type)" if $shared->{plugins}->{$type};
    $shared->{plugins}->{$type} = $class;
}

sub init {
    my ($class) = @_;

    my $shared = $class->private();
    my ($list, $plugins) = $shared->@{qw(propertyList plugins)};
    for my $plugin (values %$plugins) {
        my $own = $plugin->properties() // {};
        for my $name (keys %$own) {
            die "duplicate property '$name'" if $list->{$name};
            $list->{$name} = { $own->{$name}->%*, optional => 1 };
        }
    }
    for my $type (keys %$plugins) {
        my $options = $plugins->{$type}->options() // {};
        for my $name (keys %$options) {
            die "undefined property '$name'" if !$list->{$name};
        }
        $shared->{options}->{$type} = $options;
    }
}

sub lookup {
    my ($class, $type) = @_;

    return $class->private()->{plugins}->{$type} // die "unknown section type '$type'\n";
}

package PVE::Network::SDN::Ipams::Plugin;

our @ISA = qw(PVE::SectionConfig);

# shared by all plugins of a base class, as in PVE
our $shared = {
    propertyList => {
        type => { type => 'string' },
        ipam => { type => 'string' },
        fingerprint => PVE::JSONSchema::get_standard_option('fingerprint-sha256'),
    },
    plugins => {},
};

sub private { return $shared }

package PVE::Network::SDN::Subnets;

sub get_dhcp_ranges {
    my ($subnet) = @_;

    my @ranges;
    for my $text (@{ $subnet->{'dhcp-range'} // [] }) {
        my %range = map { split(/=/, $_, 2) } split(/,/, $text);
        if (2 != grep { defined($range{$_}) } qw(start-address end-address)) {
            warn "Unable to parse dhcp-range string: $text\n";
            next;
        }
        push @ranges, \%range;
    }
    return \@ranges;
}

package PVE::Network::SDN::Zones;

sub get_zone {
    my ($id) = @_;

    die "no sdn zone ID specified\n" if !$id;
    return $PVEStandIn::sdn->{zones}->{$id};
}

package PVE::Network::SDN::Vnets;

sub get_vnet {
    my ($id) = @_;

    return $id ? $PVEStandIn::sdn->{vnets}->{$id} : undef;
}

# undef if there is none, as in PVE
sub get_subnets {
    my ($vnet) = @_;

    my $all = $PVEStandIn::sdn->{subnets} // {};
    my %found = map { $_ => $all->{$_} } grep { $all->{$_}->{vnet} eq $vnet } keys %$all;
    return %found ? \%found : undef;
}

package PVE::Network::SDN;

use HTTP::Request;
use IO::Socket::SSL;
use JSON;
use LWP::UserAgent;
use Net::SSLeay;

sub api_request {
    my ($method, $url, $headers, $data, $fingerprint) = @_;

    $PVEStandIn::requests++;
    my $ua = LWP::UserAgent->new(protocols_allowed => ['http', 'https'], timeout => 30);
    $ua->env_proxy;
    if (defined($fingerprint)) {
        $ua->ssl_opts(
            verify_hostname => 0,
            SSL_verify_mode => SSL_VERIFY_PEER,
            SSL_verify_callback => sub {
                my ($cert, $depth) = @_[4, 5];

                # only the server's own certificate counts, whoever signed it
                return $depth != 0
                    || Net::SSLeay::X509_get_fingerprint($cert, 'sha256') eq $fingerprint;
            },
        );
    }

    my $body = $data ? to_json($data) : undef;
    my $response = $ua->request(HTTP::Request->new($method, $url, $headers, $body));
    die "Invalid response from server: " . $response->code . ' ' . $response->message . "\n"
        if !$response->is_success;

    my $text = $response->decoded_content // $response->content;
    return if $text eq '';
    return eval { from_json($text) } // die "api response is not a json";
}

1;
